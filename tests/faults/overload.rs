//! A flood: refused within 50 ms, in bounded memory (R12).
