//! Where a request stands in a trace that began elsewhere (W3C Trace Context).

use std::fmt;

/// The trace that a request belongs to, and the span that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; never zero.
    pub trace: u128,
    /// The span; never zero.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header `traceparent`. `None`: it is not one, and the specification wants it treated as absent. Of later
    /// versions what this one knows is taken.
    pub fn parse(text: &str) -> Option<Self> {
        let (known, more) = (text.get(..55)?, &text[55..]);
        let mut parts = known.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = [version.len(), trace.len(), span.len(), flags.len()];
        let is_lower_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let ends = if version == "00" { more.is_empty() } else { more.is_empty() || more.starts_with('-') };
        if lengths != [2, 32, 16, 2] || ![version, trace, span, flags].into_iter().all(is_lower_hex) || !ends {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (version != "ff").then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests;
