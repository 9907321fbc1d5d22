//! Compensated summation: the sum of many small numbers as if in twice the precision.
//!
//! A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM 54
//! (1974), 39-51: the low-order part that each addition loses is summed separately. R's `mean` sums in
//! 80 bits and corrects once; both are right to the last bit or the one before it.

/// A running sum and the number of its terms.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sum {
    total: f64,
    lost: f64,
    count: u64,
}

impl Sum {
    pub(super) fn add(&mut self, term: f64) {
        let next = self.total + term;
        // The smaller of the two is the one whose low-order bits were lost.
        self.lost += if self.total.abs() >= term.abs() {
            (self.total - next) + term
        } else {
            (term - next) + self.total
        };
        self.total = next;
        self.count += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The mean of the terms; none without terms.
    pub(super) fn mean(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a window holds fewer than 2^53 rows")]
        let count = self.count as f64;
        let mean = (self.total + self.lost) / count;
        // What the division rounded away, so that the mean of equal terms is that term: a window
        // whose errors all are the threshold is not above it.
        let rest = (-mean).mul_add(count, self.total) + self.lost;
        Some(mean + rest / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(terms: &[f64]) -> Option<f64> {
        let mut sum = Sum::default();
        terms.iter().for_each(|&term| sum.add(term));
        sum.mean()
    }

    #[test]
    fn keeps_what_plain_summation_loses() {
        assert_eq!(mean(&[1.0, 1e100, 1.0, -1e100]), Some(0.5));
        assert_eq!(mean(&[0.1; 10]), Some(0.1));
        assert_ne!([0.1; 10].iter().sum::<f64>() / 10.0, 0.1, "plain summation");
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn the_mean_of_equal_terms_is_the_term() {
        for thousandths in [1, 49, 150, 151, 333, 999] {
            let term = f64::from(thousandths) / 1000.0;
            for count in 1..500 {
                assert_eq!(mean(&vec![term; count]), Some(term), "{count} times {term}");
            }
        }
    }
}
