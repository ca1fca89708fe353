//! Endpoints, policies, ejection, pools.
