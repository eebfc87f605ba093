"""The course kit: student, instructor and test editions, exercises whose parameters a seed draws, and their grading.

`strip` cuts solutions, `leaks` looks for what is left of them in all that is written, `exercise` says what a graded
exercise is and `graded` lists those of chapters 1 to 6, `notebooks` writes them, `answers` is what a student's notebook
calls, `execution` runs what comes back and `grading` grades it, `kit` makes the editions, `gradebook` is nbgrader's
part, `elsewhere` tells in words what an edition leaves out.

The one part of ``companion`` that knows science: the references are computed by ``memprior``.
"""
