//! .
pub struct Directory;
