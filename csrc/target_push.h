/* target_push.h - compiles what follows for the instruction set UN_TARGET, until
 * target_pop.h. cgo has no flags per file, so the file says it itself. */
#include <stdint.h> /* not to be compiled for it */
#ifdef __clang__
#define UN_TARGET_TEXT2(x) #x
#define UN_TARGET_TEXT(x) UN_TARGET_TEXT2(x)
_Pragma(UN_TARGET_TEXT(clang attribute push(__attribute__((target(UN_TARGET))), apply_to = function)))
#else
#pragma GCC push_options
#define UN_TARGET_PRAGMA2(x) _Pragma(#x)
#define UN_TARGET_PRAGMA(x) UN_TARGET_PRAGMA2(x)
UN_TARGET_PRAGMA(GCC target(UN_TARGET))
#endif
