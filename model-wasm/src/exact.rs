//! Arithmetic without rounding loss: error-free transformations, and scaling by powers of two.
//!
//! A rounded sum or product of two doubles differs from the true one by another double, which can
//! be computed. Carrying those errors along gives sums as if computed in twice the precision and
//! rounded once (Ogita, Rump and Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26,
//! 2005, algorithms 3.1 to 3.3 and 5.3).
//!
//! Products are split after Dekker. A fused multiply-add would be shorter, but WebAssembly has none.
//! The transformations are exact as long as nothing overflows or underflows, for which callers scale.

/// A sum in about twice double precision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accumulator {
    sum: f64,
    error: f64,
}

impl Accumulator {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let (sum, error) = two_sum(self.sum, value);
        self.sum = sum;
        self.error += error;
    }

    #[inline]
    pub(crate) fn add_product(&mut self, a: f64, b: f64) {
        let (product, error) = two_product(a, b);
        self.add(product);
        self.error += error;
    }

    #[inline]
    pub(crate) fn value(self) -> f64 {
        self.sum + self.error
    }
}

/// The sum of squares of what `terms` yields.
pub(crate) fn sum_of_squares(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Accumulator::default();
    for term in terms {
        sum.add_product(term, term);
    }
    sum.value()
}

/// The rounded sum and its error, exactly (Knuth; no condition on the order of magnitude).
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    let a_part = sum - b_part;
    (sum, (a - a_part) + (b - b_part))
}

/// The rounded product and its error, exactly (Dekker, Veltkamp).
#[inline]
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    let (a_high, a_low) = split(a);
    let (b_high, b_low) = split(b);
    let error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low);
    (product, error)
}

/// Two halves of at most 26 bits each, whose products are exact.
#[inline]
fn split(a: f64) -> (f64, f64) {
    const SPLITTER: f64 = 134_217_729.0; // 2^27 + 1
    let shifted = SPLITTER * a;
    let high = shifted - (shifted - a);
    (high, a - high)
}

/// Bound on the exponents of [`exponent`], so that both `2^e` and `2^-e` are normal numbers. What
/// the bound leaves over (a factor of at most 2^74) does no harm: squares still fit.
const EXPONENT_BOUND: i32 = 1000;

/// An exponent `e` such that dividing by `2^e` brings the largest magnitude near one; 0 if all are
/// zero. The values must be finite.
pub(crate) fn exponent(values: impl Iterator<Item = f64>) -> i32 {
    let largest = values.fold(0.0, |largest: f64, value| largest.max(value.abs()));
    if largest == 0.0 {
        return 0;
    }
    let biased = i32::try_from((largest.to_bits() >> 52) & 0x7ff).unwrap_or(0);
    (biased - 1022).clamp(-EXPONENT_BOUND, EXPONENT_BOUND)
}

/// `value * 2^exponent` without rounding, unless the result itself is out of the normal range.
/// The exponent may be up to twice what [`exponent`] returns.
pub(crate) fn scale(value: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    value * power_of_two(half) * power_of_two(exponent - half)
}

/// `2^exponent` for exponents of normal numbers.
fn power_of_two(exponent: i32) -> f64 {
    let biased = u64::try_from(exponent.clamp(-1022, 1023) + 1023).unwrap_or(0);
    f64::from_bits(biased << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The value of a double as an integer multiple of 2^-400, for exponents where that fits.
    fn exact_integer(value: f64, bits: i32) -> i128 {
        let scaled = scale(value, bits);
        assert_eq!(scaled.trunc(), scaled, "{value} has bits below 2^-{bits}");
        #[expect(clippy::cast_possible_truncation, reason = "checked to be an integer in range")]
        {
            scaled as i128
        }
    }

    proptest! {
        #[test]
        fn sums_and_products_lose_nothing(a in -1e6..1e6f64, b in -1e6..1e6f64) {
            // Multiples of 2^-32, so that sums and products fit into 128-bit integers.
            let (a, b) = ((a * 4294967296.0).trunc() / 4294967296.0, (b * 4294967296.0).trunc() / 4294967296.0);
            let (sum, error) = two_sum(a, b);
            prop_assert_eq!(exact_integer(sum, 32) + exact_integer(error, 32), exact_integer(a, 32) + exact_integer(b, 32));
            let (product, error) = two_product(a, b);
            prop_assert_eq!(product, a * b);
            prop_assert_eq!(exact_integer(product, 64) + exact_integer(error, 64), exact_integer(a, 32) * exact_integer(b, 32));
        }

        #[test]
        fn scaling_is_undone_exactly(value in prop::num::f64::NORMAL) {
            let e = exponent([value].into_iter());
            let scaled = scale(value, -e);
            prop_assert_eq!(scale(scaled, e), value);
            let magnitude = scaled.abs();
            prop_assert!((1e-23..=2f64.powi(24)).contains(&magnitude), "{}", magnitude);
        }
    }

    #[test]
    fn cancellation_keeps_the_small_term() {
        let mut sum = Accumulator::default();
        for value in [1e16, 1.0, -1e16] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 1.0);
        assert_eq!(sum_of_squares([3.0, 4.0].into_iter()), 25.0);
    }

    #[test]
    fn exponents_of_the_extremes() {
        assert_eq!(exponent([0.0, -0.0].into_iter()), 0);
        assert_eq!(exponent([0.25, -0.75].into_iter()), 0);
        assert_eq!(exponent([f64::MAX].into_iter()), EXPONENT_BOUND);
        assert_eq!(exponent([5e-324].into_iter()), -EXPONENT_BOUND);
        assert!(scale(5e-324, EXPONENT_BOUND) > 0.0);
    }
}
