// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli): polynomial 0x1EDC6F41, reflected 0x82F63B78, initial value and final XOR all ones, as in RFC 3720
// (iSCSI), appendix B.4.

#ifndef CCRC32C_H
#define CCRC32C_H

#include <stddef.h>
#include <stdint.h>

// The other CRCs, by another instruction.
#include "cfoldedcrc.h"

/// The checksum of bytes, or of more bytes behind those that gave `previous` (0 for none).
///
/// With the processor's own instruction where it has one (SSE4.2 on x86-64, the CRC extension of ARMv8), else by tables.
uint32_t ccrc32c(uint32_t previous, const void *bytes, size_t count);

/// The same by tables alone: for processors without the instruction, and to compare.
uint32_t ccrc32c_by_tables(uint32_t previous, const void *bytes, size_t count);

/// Whether `ccrc32c` uses the processor's instruction.
int ccrc32c_is_hardware(void);

#endif
