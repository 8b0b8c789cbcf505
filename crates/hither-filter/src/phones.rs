//! Telephone numbers: international ones by their country, others by how they are set, plain ones by the word before them.

use crate::checks::value;
use crate::numbers::Number;
use crate::skeleton::is_word;

/// What stands before a telephone number.
const CALLED: &[&str] = &[
    "tel",
    "fon",
    "phone",
    "mobil",
    "mobile",
    "cell",
    "call",
    "fax",
    "whatsapp",
    "signal",
    "sms",
    "handy",
    "portable",
    "celular",
    "movil",
    "móvil",
    "fone",
    "telepon",
    "hp:",
    "no. hp",
    "điện thoại",
    "sđt",
    "电话",
    "手机",
    "電話",
    "फ़ोन",
    "फोन",
    "number is",
    "reach me",
    "reach us",
    "contact",
    "text me",
    "ring",
    "rufnummer",
    "numéro",
];

/// Where a telephone number begins and ends, if a number is one.
pub(crate) fn phone(number: &Number<'_>) -> Option<(usize, usize)> {
    let text = number.text;
    let plus = text.before(number.start) == b'+' && !is_word(text.before(number.start - 1));
    let paren = text.before(number.start) == b'(';
    let end = extension_end(number)?;
    let joint = |byte: u8| b"-./:".contains(&byte);
    let torn_behind = joint(text.at(end)) && text.at(end + 1).is_ascii_digit();
    let two_before = number.start.checked_sub(2).map_or(b' ', |at| text.at(at));
    let torn_before = joint(text.before(number.start)) && (is_word(two_before) || two_before == b'/');
    // The middle of a longer row of groups is no number of its own.
    let in_a_row = text.before(number.start) == b' ' && two_before.is_ascii_digit();
    if torn_behind || torn_before || in_a_row || text.before(number.start) == b'#' {
        return None;
    }
    // Brackets come in pairs, and a number does not end within one.
    let opens = usize::from(paren) + count(number, b'(');
    if opens != count(number, b')') || opens > 1 {
        return None;
    }
    if plus {
        let first = number.start - 1;
        let first = if text.before(first) == b'(' && text.at(end) == b')' { first - 1 } else { first };
        return is_international(number.digits).then_some((first, end));
    }
    let start = number.start - usize::from(paren);
    if paren && start > 0 && text.before(start) == b'+' {
        return None;
    }
    if number.digits.starts_with(b"00") && is_international(&number.digits[2..]) && number.digits.len() >= 11 {
        return Some((start, end));
    }
    let formed = is_american(number, paren) || has_trunk(number) || is_elsewhere(number, paren);
    let plain = || {
        let lengths = 7..=13;
        number.gaps.iter().all(|gap| gap.len() <= 2 && !gap.contains(&b'/'))
            && lengths.contains(&number.digits.len())
            && (number.is_whole() || number.groups.iter().all(|group| *group >= 2))
            && !looks_like_a_day(number)
            && number.is_called(CALLED)
    };
    (formed || plain()).then_some((start, end))
}

fn count(number: &Number<'_>, byte: u8) -> usize {
    number.gaps.iter().map(|gap| gap.iter().filter(|other| **other == byte).count()).sum()
}

/// Where a number ends, with what is dialled behind it; `None` if it ends within a word.
fn extension_end(number: &Number<'_>) -> Option<usize> {
    let text = number.text;
    let behind = &text.bytes[number.end..];
    let spaces = usize::from(behind.first() == Some(&b' '));
    for word in [&b"x"[..], b"ext. ", b"ext.", b"ext "] {
        let rest = &behind[spaces..];
        let has_word = rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
        let digits =
            rest.get(word.len()..).unwrap_or_default().iter().take(7).take_while(|b| b.is_ascii_digit()).count();
        let end = number.end + spaces + word.len() + digits;
        if has_word && (1..=6).contains(&digits) && !is_word(text.at(end)) {
            return Some(end);
        }
    }
    (!is_word(text.at(number.end))).then_some(number.end)
}

/// Whether digits begin with the code of a country, and are as many as a number there may have.
fn is_international(digits: &[u8]) -> bool {
    if !(8..=15).contains(&digits.len()) {
        return false;
    }
    let (two, three) = (value(&digits[..2]), value(&digits[..3]));
    match digits[0] {
        b'1' => digits.len() == 11 && digits[1] >= b'2',
        b'7' => digits.len() == 11,
        _ => {
            matches!(
                two,
                20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98
            ) || matches!(
                three,
                211..=213 | 216 | 218 | 220..=269 | 290 | 291 | 297..=299 | 350..=359 | 370..=389 | 420 | 421 | 423
                    | 500..=509 | 590..=599 | 670..=692 | 800 | 808 | 850..=856 | 880 | 886 | 960..=968 | 970..=977
                    | 992..=998
            )
        }
    }
}

/// `(212) 555-0123`, `212-555-0123`, `1 212 555 0123`.
fn is_american(number: &Number<'_>, paren: bool) -> bool {
    let digits = match number.digits {
        [b'1', rest @ ..] if rest.len() == 10 => rest,
        rest if rest.len() == 10 => rest,
        _ => return false,
    };
    let set = matches!(number.groups, [3, 3, 4] | [1, 3, 3, 4]) || paren && matches!(number.groups, [3, 7]);
    let set = set || number.groups == [3, 7] && number.has_gaps(b"-");
    set && digits[0] >= b'2' && (paren || digits[3] >= b'2')
}

/// `089 123456`, `01 23 45 67 89`, `0171/1234567`: a zero for the way out of town.
fn has_trunk(number: &Number<'_>) -> bool {
    let groups = number.groups;
    let set = groups.len() >= 2 && groups[0] >= 2 && groups.iter().all(|group| *group >= 2);
    let first = number.digits[0] == b'0' && number.digits.get(1).is_some_and(|digit| *digit != b'0');
    let mobile = number.is_whole() && is_mobile_with_zero(number.digits);
    first && (mobile || set && (9..=12).contains(&number.digits.len()) && !looks_like_a_day(number))
}

/// Mobile numbers of Germany, Britain, France, Vietnam and Indonesia as they are written without a space.
fn is_mobile_with_zero(digits: &[u8]) -> bool {
    match digits.len() {
        10 => matches!(&digits[..2], b"06" | b"07" | b"03" | b"05" | b"08" | b"09"),
        11 => matches!(&digits[..2], b"07" | b"08") || matches!(&digits[..3], b"015" | b"016" | b"017"),
        12 => matches!(&digits[..2], b"08") || matches!(&digits[..3], b"015"),
        _ => false,
    }
}

/// China's, India's and Brazil's own ways.
fn is_elsewhere(number: &Number<'_>, paren: bool) -> bool {
    let digits = number.digits;
    let chinese = digits.len() == 11
        && digits[0] == b'1'
        && digits[1] >= b'3'
        && (number.is_whole() || number.groups == [3, 4, 4] && number.has_gaps(b" -"));
    let indian = digits.len() == 10 && digits[0] >= b'6' && number.is_set(&[5, 5], b" -");
    let brazilian = paren && matches!(number.groups, [2, 5, 4] | [2, 4, 4]);
    chinese || indian || brazilian
}

/// `2023-10-12`, `12.10.2023`.
fn looks_like_a_day(number: &Number<'_>) -> bool {
    matches!(number.groups, [4, 2, 2] | [2, 2, 4] | [4, 2, 2, ..] | [2, 2, 4, ..])
}
