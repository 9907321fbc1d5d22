//! The relative error of a prediction, rounded as R rounds.

/// Relative error of a prediction, rounded to three decimals: `round(|predicted - actual| / actual, 3)`.
///
/// `actual` must be above zero, which [`crate::Target`] guarantees.
pub fn relative_error(predicted: f64, actual: f64) -> f64 {
    round_half_even((predicted - actual).abs() / actual, 3)
}

/// Rounds to `digits` decimals as R 4's `round` does: of the two neighbouring decimals the one
/// that is nearer in double arithmetic, and at a tie the one whose last digit is even.
///
/// Simply scaling, rounding and scaling back differs at values such as 0.0015 and 2.675. The rule is
/// R's documented "round to even on the representable number" (R manual, `?Round`, R 4.0.0 and later).
/// Values too large to have such a decimal, NaN and infinities are returned unchanged.
pub fn round_half_even(value: f64, digits: u32) -> f64 {
    /// Decimal digits that every double carries (C's `DBL_DIG`).
    const DOUBLE_DIGITS: f64 = 15.0;
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 {
        return value;
    }
    if f64::from(digits) > DOUBLE_DIGITS - magnitude.log10().ceil() {
        return value;
    }
    let scale = 10f64.powi(digits.cast_signed());
    let scaled = magnitude * scale;
    let (below, above) = (scaled.floor(), scaled.ceil());
    let (down, up) = (below / scale, above / scale);
    let (to_down, to_up) = (magnitude - down, up - magnitude);
    let nearest =
        if to_down < to_up || (to_down == to_up && below % 2.0 == 0.0) { down } else { up };
    nearest.copysign(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right-hand sides printed by R 4.2.2: `sprintf("%.17g", round(x, 3))`.
    #[test]
    fn agrees_with_r() {
        let check =
            |value: f64, expected: f64| assert_eq!(round_half_even(value, 3), expected, "{value}");
        check(0.0005, 0.0);
        check(0.0015, 0.002);
        check(0.0025, 0.002);
        check(0.15049999, 0.15);
        check(0.1505, 0.15);
        check(2.6755, 2.676);
        check(-0.0015, -0.002);
        check(1e15, 1e15);
        check(123_456.789_45, 123_456.789);
    }

    #[test]
    fn passes_special_values_through() {
        assert!(round_half_even(f64::NAN, 3).is_nan());
        assert_eq!(round_half_even(f64::INFINITY, 3), f64::INFINITY);
        assert_eq!(round_half_even(0.0, 3), 0.0);
    }

    #[test]
    fn error_is_relative_to_the_actual_value() {
        assert_eq!(relative_error(4.6, 2.5), 0.84);
        assert_eq!(relative_error(2.5, 2.5), 0.0);
    }
}
