//! Check digits: what tells a number from any other of its length.

/// The value of some ASCII digits.
pub(crate) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value: u64, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Payment cards.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Bank accounts: letters count from ten, the first four characters go to the end.
pub(crate) fn mod97(account: &[u8]) -> bool {
    let rotated = account[4..].iter().chain(&account[..4]);
    let rest = rotated.fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    rest == 1
}

/// ISO 7064, MOD 11,10: German tax numbers.
pub(crate) fn mod11_10(digits: &[u8]) -> bool {
    let (last, first) = (digits[digits.len() - 1], &digits[..digits.len() - 1]);
    let product = first.iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(digit - b'0') + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(last - b'0')
}

/// Brazilian taxpayers: two digits, each over all before it.
pub(crate) fn cpf(digits: &[u8]) -> bool {
    let check = |length: usize| {
        let weights = 2_u32..;
        let weighed = digits[..length].iter().rev().zip(weights);
        let sum: u32 = weighed.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
        sum * 10 % 11 % 10 == u32::from(digits[length] - b'0')
    };
    let all_same = digits.iter().all(|digit| *digit == digits[0]);
    !all_same && check(9) && check(10)
}

/// Chinese residents: ISO 7064, MOD 11-2; the last may be an X.
pub(crate) fn resident(body: &[u8], last: u8) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    b"10X98765432"[(sum % 11) as usize] == last.to_ascii_uppercase()
}

/// Aadhaar: Verhoeff's check over the dihedral group of ten.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const TURNS: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    // Turns come first, reflections after: a product of two is a turn if both are of one kind.
    let product = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let turned = digits.iter().rev().enumerate().map(|(at, digit)| TURNS[at % 8][usize::from(digit - b'0')]);
    turned.fold(0, product) == 0
}

/// French registrations: the last two are what is missing to a multiple of 97.
pub(crate) fn nir(digits: &[u8]) -> bool {
    97 - value(&digits[..13]) % 97 == value(&digits[13..15])
}
