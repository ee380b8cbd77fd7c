#include "engine/data_engine.h"

// The interface has no code of its own; this file makes its header compile alone.
