/* Functions that the linker wraps for a test (tl_wrap in tests/CMakeLists.txt): calls of them go to __wrap_<function>, which the
 * test defines, and the function itself is __real_<function>. */
#ifndef WRAPPED_H
#define WRAPPED_H

/* Declares both. */
#define WRAPPED(function) extern __typeof__(function) __real_##function, __wrap_##function

#endif
