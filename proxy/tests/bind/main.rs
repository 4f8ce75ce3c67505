//! The rules of the failed-bind store, through its public face.

mod bounds;
mod leases;
mod lives;
mod model;
mod names;
mod purges;
mod rotation;
mod world;
