//! Numbers that states give to people. One that has no check digit, and no form that is its own, needs the word for it.

use hither_types::filter::DataKind;

use crate::checks::{cpf, luhn, mod11_10, nir, resident, value, verhoeff};
use crate::dates::is_day;
use crate::numbers::Number;

const SSN: &[&str] = &["ssn", "social security", "social-security", "soc sec"];
const AADHAAR: &[&str] = &["aadhaar", "aadhar", "adhaar", "uidai", "आधार"];
const CCCD: &[&str] = &["cccd", "căn cước", "can cuoc", "cmnd", "cmt", "chứng minh", "citizen id", "số định danh"];

/// Which of them a number is.
pub(crate) fn kind(number: &Number<'_>) -> Option<DataKind> {
    if number.is_torn() {
        return None;
    }
    let digits = number.digits;
    match digits.len() {
        9 if is_ssn(number) => Some(DataKind::UsSsn),
        11 if is_cpf(number) => Some(DataKind::BrCpf),
        11 if is_tax_id(number) => Some(DataKind::DeTaxId),
        12 if is_aadhaar(number) => Some(DataKind::InAadhaar),
        12 if is_cccd(number) => Some(DataKind::VnCccd),
        15 if is_nir(number) => Some(DataKind::FrNir),
        16 if is_nik(number) => Some(DataKind::IdNik),
        _ => None,
    }
}

/// No area 000, 666 or from 900, no group 00, no number 0000.
fn is_ssn(number: &Number<'_>) -> bool {
    let digits = number.digits;
    let area = value(&digits[..3]);
    let given = area != 0 && area != 666 && area < 900 && value(&digits[3..5]) != 0 && value(&digits[5..]) != 0;
    let set = number.is_set(&[3, 2, 4], b"- .") || number.is_whole() && number.is_called(SSN);
    given && set
}

fn is_cpf(number: &Number<'_>) -> bool {
    let dotted = number.groups == [3, 3, 3, 2] && number.gaps == [b".".as_slice(), b".", b"-"];
    let set = dotted || number.is_whole() || number.is_set(&[9, 2], b"-/") || number.is_set(&[3, 3, 3, 2], b" ");
    set && cpf(number.digits)
}

/// Of its first ten digits one comes twice or three times, and no other does.
fn is_tax_id(number: &Number<'_>) -> bool {
    let digits = number.digits;
    let mut times = [0_u8; 10];
    digits[..10].iter().for_each(|digit| times[usize::from(digit - b'0')] += 1);
    let repeated: Vec<u8> = times.iter().copied().filter(|times| *times > 1).collect();
    let formed = digits[0] != b'0' && matches!(repeated.as_slice(), [2 | 3]);
    let set = number.is_whole() || number.is_set(&[2, 3, 3, 3], b" /");
    set && formed && mod11_10(digits)
}

fn is_aadhaar(number: &Number<'_>) -> bool {
    let set = number.is_set(&[4, 4, 4], b" -") || number.is_whole() && number.is_called(AADHAAR);
    set && number.digits[0] >= b'2' && verhoeff(number.digits)
}

/// A province, a century with a sex, a year, six digits.
fn is_cccd(number: &Number<'_>) -> bool {
    let province = value(&number.digits[..3]);
    number.is_whole() && (1..=96).contains(&province) && number.digits[3] <= b'9' && number.is_called(CCCD)
}

/// Sex, year, month, place, two numbers and the check.
fn is_nir(number: &Number<'_>) -> bool {
    let digits = number.digits;
    let sex = b"123478".contains(&digits[0]);
    let month = value(&digits[3..5]);
    let set = number.is_whole() || number.has_gaps(b" ") && number.groups.len() >= 2;
    set && sex && ((1..=12).contains(&month) || (20..=99).contains(&month)) && nir(digits)
}

/// A province, the day of birth (plus forty for women), month, year, a number.
fn is_nik(number: &Number<'_>) -> bool {
    let digits = number.digits;
    let (province, day, month) = (value(&digits[..2]), value(&digits[6..8]), value(&digits[8..10]));
    let set = number.is_whole() || number.is_set(&[6, 6, 4], b" .-");
    let day = if day > 40 { day - 40 } else { day };
    set && (11..=96).contains(&province)
        && value(&digits[2..6]) != 0
        && is_day(2000, month, day)
        && value(&digits[12..]) != 0
        && !luhn(digits)
}

/// A region, the day of birth, a number, the check.
pub(crate) fn is_resident(body: &[u8], last: u8) -> bool {
    let region = (11..=91).contains(&value(&body[..2]));
    let (year, month, day) = (value(&body[6..10]), value(&body[10..12]), value(&body[12..14]));
    region && (1880..=2100).contains(&year) && is_day(year, month, day) && resident(body, last)
}
