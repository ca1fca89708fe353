//! Names that tables give and routes refer to.

use std::collections::HashMap;

use super::Checker;
use crate::config::diagnostic::{Place, nearest, quote};
use crate::config::read::{At, Named};
use crate::config::value::Name;

/// What `[upstream.NAME]` or `[limit.NAME]` defines, and whether anybody wants it.
pub(super) struct Names {
    what: &'static str,
    by_name: HashMap<String, usize>,
    places: Vec<(String, Place)>,
    used: Vec<bool>,
}

impl Names {
    pub(super) fn new<T>(what: &'static str, named: &Named<T>, checker: &mut Checker<'_>) -> Self {
        let mut names = Self { what, by_name: HashMap::new(), places: Vec::new(), used: Vec::new() };
        for (name, _) in &named.0 {
            match names.by_name.get(name.as_str()) {
                Some(&first) => {
                    checker
                        .error(format!("{what} {} is defined twice", quote(name)), name.place, "again")
                        .also(names.places[first].1, "first here");
                }
                None => {
                    names.by_name.insert(name.value.clone(), names.places.len());
                }
            }
            names.places.push((name.value.clone(), name.place));
            names.used.push(false);
        }
        names
    }

    /// The index of what a name stands for.
    pub(super) fn find(&mut self, name: &At<Name>, checker: &mut Checker<'_>) -> Option<usize> {
        if let Some(&index) = self.by_name.get(&name.0) {
            self.used[index] = true;
            return Some(index);
        }
        let what = self.what;
        let known = self.places.iter().map(|(name, _)| name.as_str());
        let label = match self.places.len() {
            0 => "none is defined".to_owned(),
            1..=10 => format!("defined are: {}", known.clone().collect::<Vec<_>>().join(", ")),
            many => format!("none of the {many} that are defined"),
        };
        let near = nearest(&name.0, known);
        let told = checker.error(format!("no {what} is named {}", quote(&name.0)), name.place, label);
        match near {
            Some(near) => told.help(format!("did you mean \"{near}\"?")),
            None => told.help(format!("define it: `[{what}.{}]`", name.0)),
        };
        None
    }

    pub(super) fn warn_of_unused(&self, checker: &mut Checker<'_>) {
        for ((name, place), _) in self.places.iter().zip(&self.used).filter(|(_, used)| !**used) {
            checker.warn(format!("{} {} is not used by any route", self.what, quote(name)), *place, "");
        }
    }
}
