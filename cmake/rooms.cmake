# Rooms and layers. A room is a folder under src/, one static library, and uses only rooms of a strictly lower layer.
#
#   lb_room(store LAYER 2 SOURCES local_store.cc ... USES base HIDES crypto TESTS local_store_test.cc)
#
# THREADS says that its tests start threads. SUPPORT names libraries of tests/support that its tests use.
# USES is part of the room's headers (PUBLIC), HIDES is not (PRIVATE); both name rooms or the libraries of libraries.cmake.
# Four checks stand behind it: the layer test below, tools/check_layers.py over the includes, link_<room>, which links the whole
# archive against what was declared and nothing else, and the compile of each header on its own.
set_property(GLOBAL PROPERTY LB_LAYER_LINES "")

function(lb_room name)
  cmake_parse_arguments(R "THREADS" "LAYER" "SOURCES;USES;HIDES;TESTS;SUPPORT" ${ARGN})
  if(R_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "room ${name}: unknown arguments ${R_UNPARSED_ARGUMENTS}")
  endif()
  foreach(dep IN LISTS R_USES R_HIDES)
    if(TARGET lb_${dep})
      get_target_property(below lb_${dep} LB_LAYER)
      if(NOT below LESS R_LAYER)
        message(FATAL_ERROR "${name} (layer ${R_LAYER}) may not use ${dep} (layer ${below})")
      endif()
    elseif(NOT TARGET ${dep})
      message(FATAL_ERROR "${name} uses ${dep}, which is neither a lower room nor a known library")
    endif()
  endforeach()

  file(GLOB headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.h")
  add_library(lb_${name} STATIC ${R_SOURCES})
  target_sources(lb_${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/src" FILES ${headers})
  set_target_properties(lb_${name} PROPERTIES LB_LAYER ${R_LAYER} VERIFY_INTERFACE_HEADER_SETS ON UNITY_BUILD ${LB_UNITY}
                                              UNITY_BUILD_BATCH_SIZE 12)
  lb_link(lb_${name} PUBLIC ${R_USES})
  lb_link(lb_${name} PRIVATE ${R_HIDES})
  target_link_libraries(lb_${name} PRIVATE lb_flags)

  file(WRITE "${CMAKE_BINARY_DIR}/empty_main.cc" "int main() {}\n")
  add_executable(link_${name} "${CMAKE_BINARY_DIR}/empty_main.cc")
  target_link_libraries(link_${name} PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,lb_${name}>" lb_flags)

  string(REPLACE ";" "," uses "${R_USES};${R_HIDES}")
  set_property(GLOBAL APPEND PROPERTY LB_LAYER_LINES "${name} ${R_LAYER} ${uses}")
  if(R_TESTS AND LB_TESTS)
    set(threads "")
    if(R_THREADS)
      set(threads THREADS)
    endif()
    lb_test(${name}_test SOURCES ${R_TESTS} USES ${name} ${R_USES} ${R_HIDES} SUPPORT ${R_SUPPORT} LABEL unit ${threads})
  endif()
endfunction()

function(lb_link target scope)
  foreach(dep IN LISTS ARGN)
    if(TARGET lb_${dep})
      target_link_libraries(${target} ${scope} lb_${dep})
    else()
      target_link_libraries(${target} ${scope} ${dep})
    endif()
  endforeach()
endfunction()

# What the sanitizers' runs build: every test that needs no server, and those of them that start threads.
add_custom_target(plain_tests)
add_custom_target(thread_tests)

# A GoogleTest program. LABEL is one of unit, contract, crash, e2e, fuzz-smoke, slow. THREADS adds the label threads: the program
# is run under the thread sanitizer too. LOCK names resources that it needs alone. WHOLE makes one CTest entry of the program,
# because its cases share an expensive set-up.
function(lb_test name)
  cmake_parse_arguments(T "WHOLE;THREADS" "LABEL;TIMEOUT;LOCK" "SOURCES;USES;SUPPORT" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE ${LB_TEST_FLAGS})
  lb_link(${name} PRIVATE ${T_USES})
  foreach(library IN LISTS T_SUPPORT)  # by name: tests/support comes after the rooms
    target_link_libraries(${name} PRIVATE lb_${library})
  endforeach()
  target_link_libraries(${name} PRIVATE lb_flags GTest::gtest GTest::gmock GTest::gtest_main)
  set(labels ${T_LABEL})
  if(NOT T_LABEL STREQUAL "e2e")
    add_dependencies(plain_tests ${name})
  endif()
  if(T_THREADS)
    set(labels "${labels}.threads")  # one word, which -L finds by either part: GoogleTest's discovery loses lists
    add_dependencies(thread_tests ${name})
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 60)
  endif()
  if(LB_SANITIZE)
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 5")
  endif()
  set(properties TIMEOUT ${T_TIMEOUT} SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
  if(T_LOCK)
    list(APPEND properties RESOURCE_LOCK ${T_LOCK})
  endif()
  if(T_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${labels}" ${properties})
  else()
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${labels}" ${properties})
  endif()
endfunction()

function(lb_write_layers)
  get_property(lines GLOBAL PROPERTY LB_LAYER_LINES)
  string(REPLACE ";" "\n" text "${lines}")
  file(WRITE "${CMAKE_BINARY_DIR}/layers.txt" "${text}\n")
endfunction()
