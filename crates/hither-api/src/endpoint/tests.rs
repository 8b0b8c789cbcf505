//! What a server outside the mesh is asked, and how its words are read.
