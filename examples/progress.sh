#!/bin/sh
# A script that tells how far it is: each line on its standard output becomes a message in the topic progress.build.
# Watch it with examples/progress.html, or with: fanwire subscribe progress.build
#
#   STEPS  how many steps of work there are (20)
#   PAUSE  seconds that a step takes (0.2)
#   FANWIRE  the program (fanwire)
set -eu

fanwire=${FANWIRE:-fanwire}
steps=${STEPS:-20}
pause=${PAUSE:-0.2}

work() {
    step=0
    while [ "$step" -le "$steps" ]; do
        if [ "$step" -lt "$steps" ]; then text="step $((step + 1)) of $steps"; else text="done"; fi
        printf '{"done":%d,"of":%d,"text":"%s"}\n' "$step" "$steps" "$text"
        if [ "$step" -lt "$steps" ]; then sleep "$pause"; fi
        step=$((step + 1))
    done
}

# One process publishes every line as it comes.
work | "$fanwire" publish progress.build
echo "published $((steps + 1)) messages to progress.build"
