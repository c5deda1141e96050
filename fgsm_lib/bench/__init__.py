"""How fast a sweep is, beside other ways to compute the same: what ``make bench`` measures.

``contenders`` the other ways; ``passes`` how forward passes are laid out on the machine, and which
way is fastest; ``speed`` all of them in turns; ``extras`` what else might make a pass faster;
``scale`` memory and time over images and ε; ``record`` the file the results are kept in; ``report``
and ``drawings`` what the *Performance* page says and shows of it.
"""
