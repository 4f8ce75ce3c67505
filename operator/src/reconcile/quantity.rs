//! Quantities of resources, which the API server writes back in a form of its own: `1000m` of a CPU becomes `1`, `1024Mi`
//! of memory `1Gi`.

use serde_json::Value;

/// Digits after the point, as finely as the API server counts: it rounds everything to a billionth.
const SCALE: u32 = 9;

/// Whether two values are the same quantity. What is none is the same as nothing.
#[must_use]
pub fn are_same(one: &Value, other: &Value) -> bool {
    match (billionths(one), billionths(other)) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => false,
    }
}

fn billionths(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `None` also for what is finer than a billionth or beyond all that anybody has.
fn parse(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let places = u32::try_from(fraction.len()).ok()?;
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (base, exponent) = unit(suffix)?;
    let tens = SCALE.checked_add_signed(if base == 10 { exponent } else { 0 })?;
    let multiplier = if base == 2 { 1_i128.checked_shl(exponent.unsigned_abs())? } else { 1 };
    let scaled = mantissa.checked_mul(multiplier)?.checked_mul(10_i128.checked_pow(tens)?)?;
    let divisor = 10_i128.checked_pow(places)?;
    (scaled % divisor == 0).then(|| scaled / divisor)
}

/// Base and exponent of a suffix.
fn unit(suffix: &str) -> Option<(u32, i32)> {
    let known = match suffix {
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "" => (10, 0),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => (10, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_in_another_way() {
        for (one, other) in [
            (json!("1000m"), json!("1")),
            (json!("0.5"), json!("500m")),
            (json!("1024Mi"), json!("1Gi")),
            (json!("0.0625Gi"), json!("64Mi")),
            (json!("1e3"), json!("1k")),
            (json!("12E6"), json!("12M")),
            (json!(2), json!("2")),
            (json!("+1.50"), json!("1500m")),
            (json!("100n"), json!("0.1u")),
        ] {
            assert!(are_same(&one, &other), "{one} {other}");
        }
    }

    #[test]
    fn another_or_none_at_all() {
        for (one, other) in [
            (json!("1"), json!("1m")),
            (json!("1G"), json!("1Gi")),
            (json!("1"), json!("-1")),
            (json!("x"), json!("x")),
            (json!(""), json!("0")),
            (json!("1e99"), json!("1e99")),
            (json!("1e-99"), json!("0")),
            (json!("0.1n"), json!("0")),
            (json!("9999999999999999999999Ei"), json!("1")),
            (json!(null), json!(0)),
        ] {
            assert!(!are_same(&one, &other), "{one} {other}");
        }
    }
}
