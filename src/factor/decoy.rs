//! Decoys: what a caller that may not see users gets for a user who cannot be mailed.
