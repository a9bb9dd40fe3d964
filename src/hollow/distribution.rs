use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chance::chance;

/// How long something takes: start latencies, run times.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Distribution {
    /// Always the same: `5s`.
    Constant(Duration),
    /// Evenly between two: `uniform:1s,5s`.
    Uniform(Duration, Duration),
    /// Exponential with a mean: `exp:30s`.
    Exponential(Duration),
    /// Log-normal with a median and the standard deviation of the logarithm: `lognormal:30s,0.8`.
    LogNormal(Duration, f64),
}

impl Distribution {
    /// The value for a name: the same name gets the same one.
    pub fn sample(self, name: &str, purpose: &str) -> Duration {
        let u = chance(name, purpose);
        match self {
            Distribution::Constant(all) => all,
            Distribution::Uniform(low, high) => low + (high.saturating_sub(low)).mul_f64(u),
            Distribution::Exponential(mean) => scaled(mean, -(1.0 - u).ln()),
            Distribution::LogNormal(median, sigma) => {
                // Box and Muller, 1958: a normal variate from two uniform ones.
                let angle = chance(purpose, name) * std::f64::consts::TAU;
                let normal = (-2.0 * (1.0 - u).ln()).sqrt() * angle.cos();
                scaled(median, (sigma * normal).exp())
            }
        }
    }
}

/// A multiple; what is no duration any more is the longest there is.
fn scaled(duration: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Distribution, String> {
        let usage =
            || format!("{text:?} is no duration: write 5s, uniform:1s,5s, exp:30s or lognormal:30s,0.8");
        let time = |text: &str| humantime::parse_duration(text.trim()).map_err(|_| usage());
        let Some((kind, rest)) = text.split_once(':') else { return Ok(Distribution::Constant(time(text)?)) };
        match (kind, rest.split_once(',')) {
            ("exp", None) => Ok(Distribution::Exponential(time(rest)?)),
            ("uniform", Some((low, high))) => {
                let (low, high) = (time(low)?, time(high)?);
                if low <= high { Ok(Distribution::Uniform(low, high)) } else { Err(usage()) }
            }
            ("lognormal", Some((median, sigma))) => {
                let sigma = sigma.trim().parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
                Ok(Distribution::LogNormal(time(median)?, sigma.ok_or_else(usage)?))
            }
            _ => Err(usage()),
        }
    }
}

impl TryFrom<String> for Distribution {
    type Error = String;

    fn try_from(text: String) -> Result<Distribution, String> {
        text.parse()
    }
}

impl From<Distribution> for String {
    fn from(distribution: Distribution) -> String {
        distribution.to_string()
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |duration: &Duration| humantime::format_duration(*duration);
        match self {
            Distribution::Constant(all) => write!(f, "{}", time(all)),
            Distribution::Uniform(low, high) => write!(f, "uniform:{},{}", time(low), time(high)),
            Distribution::Exponential(mean) => write!(f, "exp:{}", time(mean)),
            Distribution::LogNormal(median, sigma) => write!(f, "lognormal:{},{sigma}", time(median)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for text in ["5s", "uniform:1s,5s", "exp:30s", "lognormal:30s,0.8"] {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "uniform:5s", "uniform:5s,1s", "exp:x", "lognormal:1s,x", "normal:1s,2s"] {
            assert!(bad.parse::<Distribution>().is_err(), "{bad}");
        }
    }

    #[test]
    fn samples_have_the_right_middle() {
        let seconds = |text: &str| {
            let distribution: Distribution = text.parse().unwrap();
            let mut all: Vec<f64> =
                (0..4001).map(|n| distribution.sample(&format!("p{n}"), "run").as_secs_f64()).collect();
            all.sort_by(f64::total_cmp);
            (all[2000], all.iter().sum::<f64>() / 4001.0)
        };
        assert!((seconds("5s").0 - 5.0).abs() < 1e-9);
        assert!((seconds("uniform:1s,5s").1 - 3.0).abs() < 0.1);
        assert!((seconds("exp:30s").1 - 30.0).abs() < 2.0);
        assert!((seconds("lognormal:30s,0.8").0 - 30.0).abs() < 2.0);
    }
}
