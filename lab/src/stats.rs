//! The middle and the edge of sorted values, and how values are written.

/// The middle value; of two, the greater, so that nothing is averaged away.
pub fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// The middle of values in any order, which it sorts.
pub fn middle_of(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    median(values)
}

/// The value that 99 of 100 do not exceed; of fewer than 100 values, the greatest.
pub fn percentile_99(sorted: &[f64]) -> Option<f64> {
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// A number of things, as results have it.
pub fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// A value as people read it: with one digit after the point, or with two if it is below 10.
pub fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value}")
    } else if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_tell_something() {
        assert_eq!([0.0, 0.234, 3.246, 32.46, 250.0].map(short), ["0", "0.23", "3.25", "32.5", "250"]);
    }

    #[test]
    fn of_100_values_one_may_be_anything() {
        let mut values: Vec<_> = (1..=100).map(f64::from).collect();
        values[99] = 1e6;
        assert_eq!(percentile_99(&values), Some(99.0));
        assert_eq!(percentile_99(&values[90..]), Some(1e6));
        assert_eq!(percentile_99(&[]), None);
    }
}
