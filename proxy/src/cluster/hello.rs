//! Whether two members can talk to each other, and in which words. Pure.

use super::message::{Hello, Refusal};

/// What both sides of a connection keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The protocol: the newest that both speak.
    pub protocol: u16,
    /// The optional parts that both know.
    pub features: u64,
}

/// What two members agree on. Both sides come to the same result.
///
/// # Errors
/// Why they cannot talk. A member that refuses says so to the other, in these words.
pub fn negotiate(mine: &Hello, theirs: &Hello) -> Result<Agreed, Refusal> {
    if mine.cluster != theirs.cluster {
        return Err(Refusal::OtherCluster);
    }
    if mine.node == theirs.node {
        return Err(Refusal::Myself);
    }
    let protocol = mine.newest.min(theirs.newest);
    if protocol < mine.oldest.max(theirs.oldest) {
        return Err(Refusal::Protocol);
    }
    Ok(Agreed { protocol, features: mine.features & theirs.features })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;
    use crate::cluster::message::{KeyId, KeyIds, NodeId, Standing};

    fn hello(node: u64, oldest: u16, newest: u16, features: u64) -> Hello {
        Hello {
            oldest,
            newest,
            features,
            cluster: "mail/corp".to_owned(),
            node: NodeId(node),
            name: format!("corp-{node}"),
            keys: KeyIds { current: KeyId(1), previous: None },
            now: Tick(0),
            standing: Standing::Joined,
            entries: 0,
            port: 7946,
        }
    }

    #[test]
    fn the_newest_protocol_and_the_features_that_both_know_are_used() {
        let (older, newer) = (hello(1, 1, 2, 0b011), hello(2, 2, 5, 0b110));
        let agreed = Ok(Agreed { protocol: 2, features: 0b010 });
        assert_eq!(negotiate(&older, &newer), agreed);
        assert_eq!(negotiate(&newer, &older), agreed);
    }

    #[test]
    fn without_a_common_protocol_both_sides_refuse() {
        let (older, newer) = (hello(1, 1, 2, 0), hello(2, 3, 5, 0));
        assert_eq!(negotiate(&older, &newer), Err(Refusal::Protocol));
        assert_eq!(negotiate(&newer, &older), Err(Refusal::Protocol));
    }

    #[test]
    fn members_of_other_clusters_are_refused_before_anything_else() {
        let mine = hello(1, 1, 1, 0);
        let other = Hello { cluster: "mail/other".to_owned(), ..hello(1, 9, 9, 0) };
        assert_eq!(negotiate(&mine, &other), Err(Refusal::OtherCluster));
    }

    #[test]
    fn a_node_knows_itself_by_its_run_and_not_by_its_name() {
        let mine = hello(1, 1, 1, 0);
        assert_eq!(negotiate(&mine, &mine), Err(Refusal::Myself));
        let restarted = Hello { node: NodeId(9), ..mine.clone() };
        assert!(negotiate(&mine, &restarted).is_ok());
    }
}
