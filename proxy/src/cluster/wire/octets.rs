//! Numbers, texts and lists in octets. Little endian; every length is checked before anything is taken.

use super::{DecodeError, EncodeError};

/// The longest text (a name of a cluster or a member), in octets.
pub(super) const MAX_TEXT_OCTETS: usize = 255;

/// What is left of a frame.
#[derive(Clone, Copy)]
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl<'a> Octets<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<String, DecodeError> {
        let length = self.u8()?;
        let octets = self.take(length.into())?;
        std::str::from_utf8(octets).map(str::to_owned).map_err(|_| DecodeError::Value("a text"))
    }

    /// The header of records of a fixed size, and all of them. A later version may have made them longer;
    /// they are never shorter than what is known of them, `N` octets.
    pub(super) fn records<const N: usize>(&mut self) -> Result<Records<'a, N>, DecodeError> {
        let size = usize::from(self.u16()?);
        let count = usize::from(self.u16()?);
        let octets = self.take(size * count)?;
        if count > 0 && size < N {
            return Err(DecodeError::ShortRecord { size, needed: N });
        }
        Ok(Records { octets, size: size.max(1) })
    }

    /// Steps over records of a kind that is not known.
    pub(super) fn skip_records(&mut self) -> Result<(), DecodeError> {
        let size = usize::from(self.u16()?);
        let count = usize::from(self.u16()?);
        self.take(size * count).map(drop)
    }
}

/// Records of a fixed size, of which the first `N` octets are known.
#[derive(Clone, Copy)]
pub(super) struct Records<'a, const N: usize> {
    octets: &'a [u8],
    size: usize,
}

impl<'a, const N: usize> Records<'a, N> {
    pub(super) fn len(&self) -> usize {
        self.octets.len() / self.size
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8; N]> + use<'a, N> {
        // None is shorter: `Octets::records` saw to that.
        self.octets.chunks_exact(self.size).filter_map(<[u8]>::first_chunk)
    }
}

/// `count` as it travels.
pub(super) fn short(count: usize) -> Result<u16, EncodeError> {
    u16::try_from(count).map_err(|_| EncodeError::TooLong)
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    let length = u8::try_from(text.len()).map_err(|_| EncodeError::LongText)?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The header of `count` records of `size` octets.
pub(super) fn put_records(out: &mut Vec<u8>, size: usize, count: usize) -> Result<(), EncodeError> {
    out.extend_from_slice(&short(size)?.to_le_bytes());
    out.extend_from_slice(&short(count)?.to_le_bytes());
    Ok(())
}

/// Appends `fields` one behind the other.
pub(super) fn fields(out: &mut Vec<u8>, fields: &[&[u8]]) -> Result<(), EncodeError> {
    for field in fields {
        out.extend_from_slice(field);
    }
    Ok(())
}

/// As many octets either way, so that what follows has a fixed place.
pub(super) fn put_option(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(number.is_some().into());
    out.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
}

pub(super) fn option(octets: &mut Octets<'_>) -> Result<Option<u64>, DecodeError> {
    let (given, number) = (flag(octets)?, octets.u64()?);
    Ok(given.then_some(number))
}

pub(super) fn flag(octets: &mut Octets<'_>) -> Result<bool, DecodeError> {
    match octets.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Value("a yes or no")),
    }
}
