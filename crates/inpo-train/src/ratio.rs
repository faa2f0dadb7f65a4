use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A share written as a number or as an exact fraction such as `"1/3"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    numerator: f64,
    denominator: f64,
}

impl Ratio {
    /// One third, the paper's `tau / eta`.
    pub const THIRD: Self = Self {
        numerator: 1.0,
        denominator: 3.0,
    };

    /// Its value.
    pub fn value(self) -> f64 {
        self.numerator / self.denominator
    }

    fn parse(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let numerator: f64 = numerator.trim().parse().ok()?;
        let denominator: f64 = denominator.trim().parse().ok()?;
        let ratio = Self {
            numerator,
            denominator,
        };
        ratio.value().is_finite().then_some(ratio)
    }
}

impl schemars::JsonSchema for Ratio {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ratio".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["number", "string"]})
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.denominator == 1.0 {
            serializer.serialize_f64(self.numerator)
        } else {
            serializer.serialize_str(&format!("{}/{}", self.numerator, self.denominator))
        }
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let fail = |got: String| {
            de::Error::custom(format!(
                "tau_eta_ratio is {got}; allowed: a number or a fraction such as \"1/3\""
            ))
        };
        match Written::deserialize(deserializer)? {
            Written::Number(value) if value.is_finite() => Ok(Self {
                numerator: value,
                denominator: 1.0,
            }),
            Written::Number(value) => Err(fail(value.to_string())),
            Written::Text(text) => Self::parse(&text).ok_or_else(|| fail(format!("\"{text}\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        ratio: Ratio,
    }

    #[test]
    fn fractions_are_exact_and_nonsense_is_refused() {
        let read = |text: &str| toml::from_str::<Holder>(&format!("ratio = {text}"));
        assert_eq!(read("\"1/3\"").unwrap().ratio.value(), 1.0 / 3.0);
        assert_eq!(read("0.25").unwrap().ratio.value(), 0.25);
        for bad in ["\"1/\"", "\"a/b\"", "\"1/0\"", "nan"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("tau_eta_ratio is"), "{bad}: {error}");
        }
    }
}
