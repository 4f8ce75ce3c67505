//! Programs that people really put in front of a directory, with the proxy in between and OpenLDAP
//! behind it.

mod apache;
mod dovecot;
mod ldap_utils;
mod python;
