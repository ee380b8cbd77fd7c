# One interface target carries the flags of every build; nothing sets CMAKE_CXX_FLAGS.
add_library(lb_flags INTERFACE)
target_compile_options(lb_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wextra-semi -Wimplicit-fallthrough -Wformat=2 -fstack-protector-strong)
target_compile_definitions(lb_flags INTERFACE _GLIBCXX_ASSERTIONS _FILE_OFFSET_BITS=64)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(lb_flags INTERFACE -Wduplicated-cond -Wlogical-op -Wsuggest-override)
else()
  # TRY is a statement expression: the one GNU extension that the project relies on.
  target_compile_options(lb_flags INTERFACE -Wthread-safety -Wno-gnu-statement-expression)
endif()

if(LB_WERROR)
  target_compile_options(lb_flags INTERFACE -Werror)
endif()

find_program(LB_CCACHE ccache)
if(LB_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LB_CCACHE})
endif()

find_program(LB_LLD ld.lld)
if(LB_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_link_options(lb_flags INTERFACE -fuse-ld=lld)
endif()
