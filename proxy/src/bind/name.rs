//! One key for the spellings of one name, and only where that is certain.
//!
//! A name that parses as a DN (RFC 4514 section 3) is folded in ASCII case, unescaped spaces
//! around `,` `+` `=` and at both ends, the way in which octets are escaped, and the order of the
//! parts of a multi-valued RDN. Anything else (user@domain, DOMAIN\user, `<GUID=...>`) is folded
//! in ASCII case. Names that stay apart cost an attempt more; names that are merged could refuse
//! somebody's right password. So attribute aliases, `;` as separator, quoted values, `#` values
//! and the number of inner spaces stay as they are: directories differ about them.
//!
//! The result is a DN again, in one canonical spelling, so that folding it changes nothing.

/// A name folded into its canonical spelling, on the stack unless it is long.
#[derive(Clone)]
pub struct FoldedName {
    inline: [u8; INLINE],
    len: usize,
    spilled: Vec<u8>,
}

const INLINE: usize = 256;

impl FoldedName {
    /// Folds `name`.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        let mut folded = Self { inline: [0; INLINE], len: 0, spilled: Vec::new() };
        if fold_dn(name, &mut folded).is_none() {
            folded.truncate(0);
            for octet in name {
                folded.push(octet.to_ascii_lowercase());
            }
        }
        folded
    }

    /// The canonical spelling.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        if self.spilled.is_empty() { &self.inline[..self.len] } else { &self.spilled }
    }

    fn as_mut_bytes(&mut self) -> &mut [u8] {
        if self.spilled.is_empty() { &mut self.inline[..self.len] } else { &mut self.spilled }
    }

    fn len(&self) -> usize {
        self.as_bytes().len()
    }

    fn push(&mut self, octet: u8) {
        if !self.spilled.is_empty() {
            self.spilled.push(octet);
        } else if let Some(place) = self.inline.get_mut(self.len) {
            *place = octet;
            self.len += 1;
        } else {
            self.spilled.reserve(2 * INLINE);
            self.spilled.extend_from_slice(&self.inline);
            self.spilled.push(octet);
        }
    }

    fn push_escaped(&mut self, octet: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.push(b'\\');
        self.push(HEX[usize::from(octet >> 4)]);
        self.push(HEX[usize::from(octet & 15)]);
    }

    fn truncate(&mut self, len: usize) {
        if self.spilled.is_empty() {
            self.len = len.min(self.len);
        } else {
            self.spilled.truncate(len);
            if self.spilled.is_empty() {
                self.len = 0;
            }
        }
    }
}

/// Folds a DN into `out`; `None` when the name is none, with `out` in disorder.
fn fold_dn(name: &[u8], out: &mut FoldedName) -> Option<()> {
    let mut rest = name;
    // Where the current RDN and each of its parts begin; the latter only when it has several.
    let mut rdn = out.len();
    let mut parts: Vec<usize> = Vec::new();
    loop {
        fold_type(&mut rest, out)?;
        out.push(b'=');
        let end = fold_value(&mut rest, out)?;
        if end != Some(b'+') {
            if !parts.is_empty() {
                sort_parts(out, rdn, &parts);
                parts.clear();
            }
            if end.is_none() {
                return Some(());
            }
            rdn = out.len() + 1;
        } else {
            parts.push(out.len());
        }
        out.push(end?);
    }
}

/// attributeType: a short name or a numeric OID, up to and with the `=`.
fn fold_type(rest: &mut &[u8], out: &mut FoldedName) -> Option<()> {
    let equals = rest.iter().position(|&octet| octet == b'=')?;
    let name = trim(&rest[..equals]);
    *rest = &rest[equals + 1..];
    if is_short_name(name) || is_numeric_oid(name) {
        name.iter().for_each(|octet| out.push(octet.to_ascii_lowercase()));
        Some(())
    } else {
        None
    }
}

fn is_short_name(name: &[u8]) -> bool {
    let allowed = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(allowed)
}

fn is_numeric_oid(name: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    name.contains(&b'.') && name.split(|&octet| octet == b'.').all(is_number)
}

/// attributeValue up to the separator after it, which is returned (`Some(None)` at the end).
fn fold_value(rest: &mut &[u8], out: &mut FoldedName) -> Option<Option<u8>> {
    while let Some((b' ', after)) = rest.split_first() {
        *rest = after;
    }
    let start = out.len();
    if rest.first() == Some(&b'#') {
        return fold_hex_value(rest, out);
    }
    // The length that remains when unescaped spaces at the end are taken away, and whether what
    // remains ends in a space that was escaped but does not stand so in `out`.
    let (mut keep, mut bare_space) = (start, false);
    loop {
        let next = rest.split_first();
        let Some((&octet, after)) = next.filter(|&(octet, _)| !matches!(octet, b',' | b'+')) else {
            out.truncate(keep);
            if bare_space {
                out.truncate(keep - 1);
                out.push_escaped(b' ');
            }
            let separator = next.map(|(&octet, after)| {
                *rest = after;
                octet
            });
            return Some(separator);
        };
        *rest = after;
        match octet {
            // Quotes and semicolons separate in older grammars; a bare NUL is in none.
            b'"' | b';' | b'<' | b'>' | 0 => return None,
            b' ' => out.push(b' '),
            b'\\' => {
                let value = unescape(rest)?.to_ascii_lowercase();
                let first = out.len() == start;
                if must_escape(value) || (first && matches!(value, b' ' | b'#')) {
                    out.push_escaped(value);
                } else {
                    out.push(value);
                }
                bare_space = value == b' ' && !first;
                keep = out.len();
            }
            other => {
                out.push(other.to_ascii_lowercase());
                bare_space = false;
                keep = out.len();
            }
        }
    }
}

/// `#` and the BER encoding in hexadecimal digits. It is not decoded: OpenLDAP refuses what
/// 389 DS takes for the string inside.
fn fold_hex_value(rest: &mut &[u8], out: &mut FoldedName) -> Option<Option<u8>> {
    let end = rest.iter().position(|octet| matches!(octet, b',' | b'+'));
    let (value, after) = match end {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (*rest, &rest[rest.len()..]),
    };
    let separator = end.map(|at| rest[at]);
    *rest = after;
    let digits = trim(value).strip_prefix(b"#")?;
    if digits.is_empty() || digits.len() % 2 != 0 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    out.push(b'#');
    digits.iter().for_each(|digit| out.push(digit.to_ascii_lowercase()));
    Some(separator)
}

/// What follows a backslash: two hexadecimal digits or one special character.
fn unescape(rest: &mut &[u8]) -> Option<u8> {
    let first = *rest.first()?;
    if let (Some(high), Some(low)) = (hex(first), rest.get(1).copied().and_then(hex)) {
        *rest = &rest[2..];
        return Some(high << 4 | low);
    }
    let special = matches!(first, b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\');
    *rest = &rest[1..];
    special.then_some(first)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Octets that can stand in a value in escaped form only.
fn must_escape(octet: u8) -> bool {
    matches!(octet, b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | 0)
}

/// Brings the parts of the RDN at the end of `out` into the order of their octets.
fn sort_parts(out: &mut FoldedName, rdn: usize, ends: &[usize]) {
    let text = out.as_bytes()[rdn..].to_vec();
    let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1 - rdn));
    let stops = ends.iter().map(|end| end - rdn).chain([text.len()]);
    let mut parts: Vec<&[u8]> = starts.zip(stops).map(|(start, stop)| &text[start..stop]).collect();
    parts.sort_unstable();
    out.as_mut_bytes()[rdn..].copy_from_slice(&parts.join(&b'+'));
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ', inner @ ..] | [inner @ .., b' '] = text {
        text = inner;
    }
    text
}
