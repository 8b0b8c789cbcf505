//! The hand that asks servers outside the mesh.
