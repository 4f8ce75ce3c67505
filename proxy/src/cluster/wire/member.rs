//! Who a member is and why it is refused, in octets.

use crate::cluster::message::{Hello, KeyId, KeyIds, NodeId, Refusal, Standing};

use super::facts::tick;
use super::octets::{Octets, fields, option, put_option, put_text};
use super::{DecodeError, EncodeError};

pub(super) fn put_hello(out: &mut Vec<u8>, hello: &Hello) -> Result<(), EncodeError> {
    let Hello { oldest, newest, features, cluster, node, name, keys, now, standing, entries, port } = hello;
    // These two stay where they are in every protocol: by them members find out that they have none in common.
    fields(out, &[&oldest.to_le_bytes(), &newest.to_le_bytes()])?;
    fields(out, &[&features.to_le_bytes(), &node.0.to_le_bytes()])?;
    put_keys(out, keys);
    fields(out, &[&now.0.to_le_bytes(), &[standing_code(*standing)], &entries.to_le_bytes()])?;
    put_text(out, cluster)?;
    put_text(out, name)?;
    fields(out, &[&port.to_le_bytes()])
}

pub(super) fn hello(octets: &mut Octets<'_>) -> Result<Hello, DecodeError> {
    // In the order of the octets.
    let (oldest, newest, features) = (octets.u16()?, octets.u16()?, octets.u64()?);
    let (node, keys, now) = (NodeId(octets.u64()?), keys(octets)?, tick(octets.u64()?));
    let (standing, entries) = (standing(octets.u8()?)?, octets.u32()?);
    let (cluster, name) = (octets.text()?, octets.text()?);
    let port = octets.u16()?;
    Ok(Hello { oldest, newest, features, cluster, node, name, keys, now, standing, entries, port })
}

pub(super) fn put_keys(out: &mut Vec<u8>, keys: &KeyIds) {
    let KeyIds { current, previous } = keys;
    out.extend_from_slice(&current.0.to_le_bytes());
    put_option(out, previous.map(|key| key.0));
}

pub(super) fn keys(octets: &mut Octets<'_>) -> Result<KeyIds, DecodeError> {
    Ok(KeyIds { current: KeyId(octets.u64()?), previous: option(octets)?.map(KeyId) })
}

pub(super) fn standing_code(standing: Standing) -> u8 {
    match standing {
        Standing::Joining => 0,
        Standing::Joined => 1,
        Standing::Leaving => 2,
    }
}

pub(super) fn standing(code: u8) -> Result<Standing, DecodeError> {
    match code {
        0 => Ok(Standing::Joining),
        1 => Ok(Standing::Joined),
        2 => Ok(Standing::Leaving),
        _ => Err(DecodeError::Value("a standing")),
    }
}

pub(super) fn refusal_code(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::OtherCluster => 1,
        Refusal::Protocol => 2,
        Refusal::Myself => 3,
        Refusal::TooMany => 4,
        Refusal::Other(code) => code,
    }
}

pub(super) fn refusal(code: u16) -> Refusal {
    match code {
        1 => Refusal::OtherCluster,
        2 => Refusal::Protocol,
        3 => Refusal::Myself,
        4 => Refusal::TooMany,
        other => Refusal::Other(other),
    }
}
