//! The catalog's own small values: what a partition is named by and what column statistics hold.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// One typed value of a partition column or of a column statistic.
///
/// Dates are days since 1970-01-01, timestamps microseconds since 1970-01-01 00:00:00 (UTC for instants, local for
/// timestamps without a zone).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Null,
    Boolean(bool),
    Int(i64),
    Float(#[serde(with = "float_text")] f64),
    Decimal { unscaled: i128, scale: i8 },
    Date(i32),
    Timestamp(i64),
    Text(String),
    Binary(Vec<u8>),
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Compares two values of the same variant; `None` where they cannot be compared (NULL, NaN, other variants).
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Decimal { unscaled: a, scale: x }, Value::Decimal { unscaled: b, scale: y }) if x == y => {
                Some(a.cmp(b))
            }
            (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Binary(a), Value::Binary(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// A condition on the partition columns of a table, by their position among the partition columns.
///
/// It says *which partitions may match*: a partition for which it is not certainly false is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Predicate {
    /// Every partition.
    All,
    /// No partition.
    Nothing,
    Compare {
        column: usize,
        op: Comparison,
        value: Value,
    },
    In {
        column: usize,
        values: Vec<Value>,
    },
    IsNull {
        column: usize,
    },
    IsNotNull {
        column: usize,
    },
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Predicate {
    /// Whether a partition with these values may match. `values` holds one value a partition column, in table order; one
    /// that is missing is taken for unknown.
    pub fn may_match(&self, values: &[Value]) -> bool {
        match self {
            Predicate::All => true,
            Predicate::Nothing => false,
            Predicate::Compare { column, op, value } => values.get(*column).is_none_or(|v| op.may_hold(v, value)),
            Predicate::In { column, values: wanted } => {
                values.get(*column).is_none_or(|v| wanted.iter().any(|w| Comparison::Eq.may_hold(v, w)))
            }
            Predicate::IsNull { column } => values.get(*column).is_none_or(Value::is_null),
            Predicate::IsNotNull { column } => values.get(*column).is_none_or(|v| !v.is_null()),
            Predicate::And(all) => all.iter().all(|p| p.may_match(values)),
            Predicate::Or(any) => any.iter().any(|p| p.may_match(values)),
        }
    }
}

impl Comparison {
    /// Whether `left op right` is not certainly false or NULL.
    fn may_hold(self, left: &Value, right: &Value) -> bool {
        if left.is_null() || right.is_null() {
            return false;
        }
        match left.compare(right) {
            None => true,
            Some(order) => match self {
                Comparison::Eq => order.is_eq(),
                Comparison::NotEq => order.is_ne(),
                Comparison::Lt => order.is_lt(),
                Comparison::LtEq => order.is_le(),
                Comparison::Gt => order.is_gt(),
                Comparison::GtEq => order.is_ge(),
            },
        }
    }
}

/// JSON has no NaN and no infinity; such floats are written as text.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(f64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.collect_str(value) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(value) => Ok(value),
            NumberOrText::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_the_catalog() {
        let values = [
            Value::Null,
            Value::Boolean(true),
            Value::Int(i64::MIN),
            Value::Float(0.1 + 0.2),
            Value::Float(f64::INFINITY),
            Value::Float(-0.0),
            Value::Decimal { unscaled: i128::MIN, scale: -3 },
            Value::Date(-1),
            Value::Timestamp(i64::MAX),
            Value::Text("a\u{0}\"é".into()),
            Value::Binary(vec![0, 255]),
        ];
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap(), values);
        let nan = serde_json::to_string(&Value::Float(f64::NAN)).unwrap();
        assert!(matches!(serde_json::from_str(&nan).unwrap(), Value::Float(value) if value.is_nan()));
    }

    #[test]
    fn a_predicate_keeps_what_is_not_certainly_false() {
        let at_least = Predicate::Compare { column: 0, op: Comparison::GtEq, value: Value::Int(7) };
        assert!(at_least.may_match(&[Value::Int(7)]));
        assert!(!at_least.may_match(&[Value::Int(6)]));
        assert!(!at_least.may_match(&[Value::Null]));
        assert!(at_least.may_match(&[Value::Text("7".into())]), "values of other types cannot be compared");
        assert!(at_least.may_match(&[]), "an unknown value may match");
        let among = Predicate::In { column: 0, values: vec![Value::Int(1), Value::Int(2)] };
        assert!(among.may_match(&[Value::Int(2)]) && !among.may_match(&[Value::Int(3)]));
    }
}
