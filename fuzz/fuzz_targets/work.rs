//! What comes from clients and peers as work, pieces, commands and reports: decoded or refused, and what is decoded is
//! encoded to the same bytes again.
#![no_main]

use hither_engine::protocol::{decode_command, decode_report};
use hither_engine::work::{Piece, Work};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(work) = Work::decode(bytes) {
        assert!(Work::decode(&work.encode()).is_ok());
    }
    if let Ok(piece) = Piece::decode(bytes) {
        assert!(Piece::decode(&piece.encode()).is_ok());
    }
    let _ = (decode_command(bytes), decode_report(bytes));
});
