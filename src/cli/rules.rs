//! The exclude options of a command line, in the order in which they were typed: the first rule that matches
//! decides, so the order is the meaning.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::ops::project::ExtraRule;

/// `--exclude`, `--include` and `--exclude-from` of the verb in `matches`, in order.
pub(super) fn in_order(matches: &ArgMatches, directory: &Path) -> Vec<ExtraRule> {
    let Some((_, verb)) = matches.subcommand() else {
        return vec![];
    };
    let mut rules: Vec<(usize, ExtraRule)> = Vec::new();
    rules
        .extend(placed::<String>(verb, "exclude").map(|(at, text)| (at, ExtraRule::Exclude(text))));
    rules
        .extend(placed::<String>(verb, "include").map(|(at, text)| (at, ExtraRule::Include(text))));
    let files = placed::<PathBuf>(verb, "exclude_from");
    rules.extend(files.map(|(at, file)| (at, ExtraRule::ExcludeFrom(directory.join(file)))));
    rules.sort_by_key(|(at, _)| *at);
    rules.into_iter().map(|(_, rule)| rule).collect()
}

fn placed<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    name: &str,
) -> impl Iterator<Item = (usize, T)> {
    // A verb without this option has none of them.
    let values = matches
        .try_get_many::<T>(name)
        .ok()
        .flatten()
        .into_iter()
        .flatten()
        .cloned();
    let places: Vec<usize> = matches.indices_of(name).into_iter().flatten().collect();
    let values: Vec<T> = values.collect();
    places.into_iter().zip(values)
}
