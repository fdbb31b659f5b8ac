//! Names that come nearest to one that does not exist.

/// Longer names are not compared: the work grows with the product of both lengths.
const MAX_CHARS: usize = 64;
/// How many are offered.
const MAX_OFFERED: usize = 3;

/// Those of `names` that differ the least from `name`, in a third of its characters at most. Three at most.
/// Order and choice depend on nothing but the arguments.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = name.chars().take(MAX_CHARS + 1).collect();
    if wanted.len() > MAX_CHARS {
        return Vec::new();
    }
    let most = (wanted.len() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|other| other.len().abs_diff(name.len()) <= 4 * most)
        .map(|other| (distance(&wanted, other), other))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    found.sort();
    found.dedup();
    let least = found.first().map(|(distance, _)| *distance);
    found.retain(|(distance, _)| Some(*distance) == least);
    found.into_iter().take(MAX_OFFERED).map(|(_, other)| other.to_owned()).collect()
}

/// How many characters are to be inserted, removed, replaced or swapped with their neighbour.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().take(MAX_CHARS).collect();
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i - 1] == *b && to[j - 1] == *a {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_right_one() {
        let names = ["request_path", "request_path_raw", "request_host", "door"];
        assert_eq!(nearest("request_psth", names), ["request_path"]);
        assert_eq!(nearest("reqeust_path", names), ["request_path"]);
        assert_eq!(nearest("dor", names), ["door"]);
        assert_eq!(nearest("zebra", names), Vec::<String>::new());
        assert_eq!(nearest("", names), Vec::<String>::new());
        assert_eq!(nearest(&"x".repeat(10_000), names), Vec::<String>::new());
    }
}
