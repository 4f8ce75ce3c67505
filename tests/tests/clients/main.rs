//! Programs that people really put in front of a directory, with the proxy in between and OpenLDAP
//! behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod apache;
mod dovecot;
mod ldap_utils;
mod python;
