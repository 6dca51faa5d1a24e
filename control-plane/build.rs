//! A new migration is a change of this crate, which `sqlx::migrate!` alone does not tell cargo.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
