//! What must hold of a figure: `"<= 3"`, `"== 0"`.

use crate::measure::figures;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    relation: Relation,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtMost,
    AtLeast,
    Exactly,
}

const RELATIONS: [(&str, Relation); 3] = [("<=", Relation::AtMost), (">=", Relation::AtLeast), ("==", Relation::Exactly)];

impl Objective {
    pub fn holds(&self, value: f64) -> bool {
        match self.relation {
            Relation::AtMost => value <= self.bound,
            Relation::AtLeast => value >= self.bound,
            Relation::Exactly => value == self.bound,
        }
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let found = RELATIONS.iter().find_map(|(sign, relation)| Some((text.trim().strip_prefix(sign)?, *relation)));
        let parsed = found.and_then(|(bound, relation)| Some(Self { relation, bound: bound.trim().parse().ok()? }));
        parsed.ok_or_else(|| format!("an objective is a relation and a number, as in \"<= 3\", not {text:?}"))
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = RELATIONS.iter().find(|(_, relation)| *relation == self.relation).map_or("", |(sign, _)| sign);
        write!(f, "{sign} {}", self.bound)
    }
}

/// A sentence if no figure has this name.
pub fn unknown(name: &str) -> Option<String> {
    (!figures::is_known(name)).then(|| {
        format!(
            "objectives: there is no figure {name:?}; `guildhall-loadtest scenarios --figures` lists them with what they mean"
        )
    })
}
