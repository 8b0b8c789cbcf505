//! Days, and whether the words before one say that somebody was born then.

use crate::numbers::Number;
use crate::skeleton::{Skeleton, is_word};

/// What stands before a day of birth, in the languages of those who use it.
const BORN: &[&str] = &[
    "birth",
    "born",
    "dob",
    "d.o.b",
    "geboren",
    "geb.",
    "geburt",
    "naissance",
    "né le",
    "née le",
    "né(e)",
    "nascimento",
    "nascid",
    "nacimiento",
    "nacid",
    "nato il",
    "nata il",
    "nascita",
    "lahir",
    "ngày sinh",
    "sinh ngày",
    "出生",
    "生日",
    "生年月日",
    "जन्म",
    "geboortedatum",
    "urodzen",
];

/// The first letters of the months in English, German, French, Spanish, Portuguese, Italian, Dutch and Indonesian.
const MONTHS: &[&[u8]] = &[
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec", b"mai", b"okt",
    b"dez", b"fev", b"avr", b"juin", b"juil", b"ene", b"abr", b"ago", b"set", b"out", b"dic", b"mag", b"giu", b"lug",
    b"ott", b"gen", b"mei", b"peb", b"agu", b"des",
];

/// Whether there is such a day.
pub(crate) fn is_day(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Where a day of birth begins and ends, if a number is one or a part of one.
pub(crate) fn birth(number: &Number<'_>) -> Option<(usize, usize)> {
    let (start, end) = numeric(number).or_else(|| with_month(number))?;
    let before = number.text.words_before(start);
    BORN.iter().any(|word| before.contains(word)).then_some((start, end))
}

fn numeric(number: &Number<'_>) -> Option<(usize, usize)> {
    use crate::checks::value;
    if let ([year, month, day], true) = (number.groups, number.has_gaps(b"-./ ")) {
        let (a, rest) = number.digits.split_at(*year);
        let (b, c) = rest.split_at(*month);
        let (a, b, c) = (value(a), value(b), value(c));
        let fits = match (year, month, day) {
            (4, 1 | 2, 1 | 2) => is_day(a, b, c),
            (1 | 2, 1 | 2, 4) => is_day(c, b, a) || is_day(c, a, b),
            (1 | 2, 1 | 2, 2) => is_day(2000, b, a) || is_day(2000, a, b),
            (2, 1 | 2, 1) => is_day(2000, b, c),
            _ => false,
        };
        return fits.then_some((number.start, number.end));
    }
    None
}

/// `12 March 1980`, `March 12, 1980`: the number at hand is the day, and stands alone.
fn with_month(number: &Number<'_>) -> Option<(usize, usize)> {
    if !number.is_whole() || number.digits.len() > 2 {
        return None;
    }
    let text = number.text;
    // The month behind the day, then the year.
    let behind = skip(text, number.end, b". ");
    let behind = if text.bytes[behind..].starts_with(b"de ") { behind + 3 } else { behind };
    if let Some(month_end) = month(text, behind) {
        let year = skip(text, month_end, b"., ");
        let year = if text.bytes[year..].starts_with(b"de ") { year + 3 } else { year };
        return Some((number.start, year_end(text, year).unwrap_or(month_end)));
    }
    // The month before the day.
    let mut end = number.start;
    while b" .".contains(&text.before(end)) && number.start - end < 2 {
        end -= 1;
    }
    let mut start = end;
    while text.before(start).is_ascii_alphabetic() && end - start < 10 {
        start -= 1;
    }
    month(text, start).filter(|found| *found == end)?;
    let behind = skip(text, number.end, b", ths");
    Some((start, year_end(text, behind).unwrap_or(number.end)))
}

fn skip(text: &Skeleton<'_>, from: usize, bytes: &[u8]) -> usize {
    from + text.bytes[from..].iter().take(4).take_while(|byte| bytes.contains(byte)).count()
}

/// Where the word ends that begins here, if it is a month.
fn month(text: &Skeleton<'_>, start: usize) -> Option<usize> {
    let rest = &text.bytes[start..text.bytes.len().min(start + 12)];
    let length = rest.iter().take_while(|byte| is_word(**byte)).count();
    let word = rest[..length].to_ascii_lowercase();
    let known = MONTHS.iter().any(|known| word.starts_with(known));
    // What ends behind more letters than any month has is another word.
    (known && (3..=10).contains(&length)).then_some(start + length)
}

fn year_end(text: &Skeleton<'_>, start: usize) -> Option<usize> {
    let length = text.bytes[start..].iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    matches!(length, 2 | 4).then_some(start + length)
}
