//! Least squares on small integers by the normal equations, in exact rational arithmetic.
//!
//! Cramer's rule over determinants in 128-bit integers: naive, slow and right.

/// An exact solution, rounded once at the end.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) std_errors: Vec<f64>,
    pub(crate) sigma: f64,
}

impl Oracle {
    /// `None` if the columns are linearly dependent. There must be more rows than columns.
    pub(crate) fn solve(table: &[([i32; 3], i32)], intercept: bool) -> Option<Self> {
        let design: Vec<Vec<i128>> = table
            .iter()
            .map(|(x, _)| intercept.then_some(1).into_iter().chain(*x).map(i128::from).collect())
            .collect();
        let y: Vec<i128> = table.iter().map(|row| i128::from(row.1)).collect();
        let p = design[0].len();
        let gram: Vec<Vec<i128>> = (0..p)
            .map(|i| (0..p).map(|j| design.iter().map(|row| row[i] * row[j]).sum()).collect())
            .collect();
        let moments: Vec<i128> =
            (0..p).map(|i| design.iter().zip(&y).map(|(row, y)| row[i] * y).sum()).collect();

        let denominator = determinant(&gram);
        if denominator == 0 {
            return None;
        }
        let numerators: Vec<i128> = (0..p)
            .map(|replaced| {
                let mut matrix = gram.clone();
                for (row, moment) in matrix.iter_mut().zip(&moments) {
                    row[replaced] = *moment;
                }
                determinant(&matrix)
            })
            .collect();

        // y'y - b'X'y, over the common denominator.
        let total: i128 = y.iter().map(|y| y * y).sum();
        let explained: i128 = numerators.iter().zip(&moments).map(|(b, m)| b * m).sum();
        let variance = ratio(total * denominator - explained, denominator)
            / ratio(i128::try_from(table.len() - p).ok()?, 1);
        let std_error = |i: usize| {
            let minor: Vec<Vec<i128>> =
                without(&gram, i).map(|row| without(row, i).copied().collect()).collect();
            (variance * ratio(determinant(&minor), denominator)).sqrt()
        };
        Some(Self {
            coefficients: numerators.iter().map(|b| ratio(*b, denominator)).collect(),
            std_errors: (0..p).map(std_error).collect(),
            sigma: variance.sqrt(),
        })
    }
}

fn without<T>(items: &[T], left_out: usize) -> impl Iterator<Item = &T> {
    items.iter().enumerate().filter(move |(index, _)| *index != left_out).map(|(_, item)| item)
}

#[expect(clippy::cast_precision_loss, reason = "the one rounding of the oracle")]
fn ratio(numerator: i128, denominator: i128) -> f64 {
    numerator as f64 / denominator as f64
}

/// By expansion along the first row: exact, and fast enough for four columns.
fn determinant(matrix: &[Vec<i128>]) -> i128 {
    let Some((first, rest)) = matrix.split_first() else { return 1 };
    let mut sum = 0;
    for (column, factor) in first.iter().enumerate() {
        let minor: Vec<Vec<i128>> =
            rest.iter().map(|row| without(row, column).copied().collect()).collect();
        let term = factor * determinant(&minor);
        sum += if column % 2 == 0 { term } else { -term };
    }
    sum
}
