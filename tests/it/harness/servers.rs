//! The servers that the library's own tests start as well.

#![expect(unreachable_pub, reason = "as in any other module that others use")]
#![expect(clippy::print_stderr, reason = "tests say what they skip")]
#![expect(dead_code, reason = "the black-box tests need more of it")]

pub mod installed;
pub mod postgres;
