// SPDX-License-Identifier: Apache-2.0
//
// CRCs of 32 or 64 bits, reflected, by the processor's carry-less multiplication (PCLMULQDQ on x86-64): 64 bytes at a time
// are replaced by 64 bytes further on that leave the same remainder (Gopal and others, "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction", Intel, 2009).

#ifndef CFOLDEDCRC_H
#define CFOLDEDCRC_H

#include <stddef.h>
#include <stdint.h>

/// What a polynomial needs: powers of x, reduced.
struct cfoldedcrc {
    /// To move 16 bytes over 64: for their first eight, and for their last eight.
    uint64_t over64[2];
    /// To move 16 bytes over 16.
    uint64_t over16[2];
};

/// Whether the processor has the instruction; `cfoldedcrc_fold` is not to be called without.
int cfoldedcrc_is_hardware(void);

/// The powers for a polynomial.
///
/// `reflected` has the polynomial's lowest power in its highest bit, without the power `bits` itself, which is 32 or 64.
struct cfoldedcrc cfoldedcrc_make(uint64_t reflected, int bits);

/// Shortens bytes, a multiple of 64, to 16 bytes of the same CRC.
///
/// `sum` is the CRC before these bytes, without its final XOR; the CRC of `rest` is to begin with 0.
void cfoldedcrc_fold(
    const struct cfoldedcrc *powers, uint64_t sum, const void *bytes, size_t count, uint8_t rest[16]);

#endif
