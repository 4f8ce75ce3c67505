//! The little BER that requests of a test are made of. Written here and not taken from the proxy's
//! codec, so that the two can disagree.

/// An element: tag, definite length in its shortest form, body.
#[must_use]
pub fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match body.len() {
        short @ 0..=0x7F => out.push(short as u8),
        long => {
            let octets = long.to_be_bytes();
            let skip = octets.iter().take_while(|&&octet| octet == 0).count();
            out.push(0x80 | (octets.len() - skip) as u8);
            out.extend_from_slice(&octets[skip..]);
        }
    }
    out.extend_from_slice(body);
    out
}

/// An element whose body is `parts`, one after the other.
#[must_use]
pub fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// SEQUENCE.
#[must_use]
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(0x30, parts)
}

/// OCTET STRING.
#[must_use]
pub fn octets(value: impl AsRef<[u8]>) -> Vec<u8> {
    element(4, value.as_ref())
}

/// INTEGER, or ENUMERATED with `tag` 10.
#[must_use]
pub fn integer(tag: u8, value: i32) -> Vec<u8> {
    let octets = value.to_be_bytes();
    let mut start = 0;
    while start < 3
        && ((octets[start] == 0 && octets[start + 1] < 0x80) || (octets[start] == 0xFF && octets[start + 1] >= 0x80))
    {
        start += 1;
    }
    element(tag, &octets[start..])
}

/// BOOLEAN.
#[must_use]
pub fn boolean(value: bool) -> Vec<u8> {
    element(1, &[if value { 0xFF } else { 0 }])
}
