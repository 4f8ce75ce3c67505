//! What peers tell each other gives nothing away.
