/* Compiled once per header and language: declarations only, included twice, and the types usable. */
#include CQUANT_HEADER
#include CQUANT_HEADER
extern size_t cq_probe_decl(void);
size_t cq_probe_decl(void) { return sizeof(cq_context) + sizeof(cq_tensor) + sizeof(cq_error); }
