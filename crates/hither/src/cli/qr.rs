//! Tickets as QR codes (ISO/IEC 18004), for a screen and a camera.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::output::Trouble;

/// A ticket as block characters, two modules above each other in each, for light text on a dark screen.
///
/// Upper case takes 5.5 bits a letter instead of 8 (alphanumeric mode); a ticket is read in either.
pub(super) fn drawn(ticket: &str) -> Result<String, Trouble> {
    let code = QrCode::with_error_correction_level(ticket.to_ascii_uppercase(), EcLevel::L)
        .map_err(|error| Trouble::new("E0208", format!("the ticket does not fit a QR code: {error}")))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::drawn;

    /// What a camera sees: for each row of characters two rows of pixels, and light blocks on dark ground.
    fn read(text: &str) -> String {
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let (width, height) = (lines[0].len(), 2 * lines.len());
        let light = |x: usize, y: usize| match lines[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => !y.is_multiple_of(2),
            ' ' => false,
            other => panic!("{other} is no block"),
        };
        let pixel = |x, y| if light(x / 4, y / 4) { 255 } else { 0 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(4 * width, 4 * height, pixel);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_camera_reads_the_ticket_that_was_drawn() {
        let ticket = format!("hither1{}", "abcdefghijklmnopqrstuvwxyz234567".repeat(8));
        let text = drawn(&ticket).unwrap();
        assert_eq!(read(&text).to_ascii_lowercase(), ticket);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "it fits a terminal");
    }

    #[test]
    fn a_ticket_that_is_too_long_is_said_to_be() {
        assert!(drawn(&"a".repeat(5_000)).is_err());
    }
}
