//! Certificates, choice by SNI, tickets.
