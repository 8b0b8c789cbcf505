//! The bytes of tokens become text that never has to be taken back.
//!
//! What must stay true: what is emitted is a function of the tokens so far and of nothing else. A stream that goes on
//! elsewhere replays the tokens already delivered, drops what they emit, and neither loses nor doubles a character.

#[cfg(test)]
mod tests;

/// Assembles the text of one answer. Holds back an incomplete character and what may be the beginning of a stop
/// string.
#[derive(Debug, Clone)]
pub struct Assembler {
    stops: Vec<String>,
    /// The beginning of a character.
    bytes: Vec<u8>,
    /// Whole characters that may belong to a stop string.
    held: String,
}

/// What one token added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// Text that may go to the client now; may be empty.
    Text(String),
    /// A stop string is complete. The text before it, and nothing after.
    Stopped(String),
}

impl Assembler {
    /// An empty text that ends before any of these.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, bytes: Vec::new(), held: String::new() }
    }

    /// Takes the bytes of one token.
    pub fn push(&mut self, token: &[u8]) -> Added {
        self.bytes.extend_from_slice(token);
        self.take_whole_characters();
        self.release()
    }

    /// The end of the answer: gives out what was held back. An incomplete character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        if let Some(at) = self.stop_at() {
            self.held.truncate(at);
        }
        std::mem::take(&mut self.held)
    }

    fn take_whole_characters(&mut self) {
        let mut rest = self.bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (whole, after) = rest.split_at(error.valid_up_to());
                    self.held.push_str(std::str::from_utf8(whole).expect("valid up to here"));
                    rest = after;
                    let Some(wrong) = error.error_len() else {
                        break;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[wrong..];
                }
            }
        }
        self.bytes = rest.to_vec();
    }

    fn release(&mut self) -> Added {
        if let Some(at) = self.stop_at() {
            self.held.truncate(at);
            self.bytes.clear();
            return Added::Stopped(std::mem::take(&mut self.held));
        }
        let may_stop = |(at, _): &(usize, char)| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let keep_from = self.held.char_indices().filter(|(at, _)| *at >= from).find(may_stop);
        let kept = self.held.split_off(keep_from.map_or(self.held.len(), |(at, _)| at));
        Added::Text(std::mem::replace(&mut self.held, kept))
    }

    fn stop_at(&self) -> Option<usize> {
        self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min()
    }
}
