//! What somebody may have meant.

/// The most similar of several words, if one is similar enough: one wrong letter in a short word, two in a long one.
pub(crate) fn similar<'a>(found: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = if found.chars().count() <= 4 { 1 } else { 2 };
    let distances = words.into_iter().map(|word| (distance(found, word, allowed), word));
    distances.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// How many letters must be changed, added, removed or swapped with their neighbour; `most` + 1 if more than `most`.
fn distance(one: &str, other: &str, most: usize) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().abs_diff(other.len()) > most {
        return most + 1;
    }
    let mut before: Vec<usize> = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let mut least = (last[column] + usize::from(a != b)).min(last[column + 1] + 1).min(this[column] + 1);
            if row > 0 && column > 0 && *a == other[column - 1] && one[row - 1] == *b {
                least = least.min(before[column - 1] + 1);
            }
            this.push(least);
        }
        before = std::mem::replace(&mut last, this);
    }
    last[other.len()]
}
