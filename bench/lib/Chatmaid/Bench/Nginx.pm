package Chatmaid::Bench::Nginx;

# An nginx that another program runs: valgrind, taskset.

use Mojo::Base 'Chatmaid::Test::Nginx', -signatures;

has before => sub { [] };

sub program ($self, @more) { (@{$self->before}, $self->SUPER::program(@more)) }

# Valgrind attaches to no process that was forked: the worker is this one.
sub workers ($self) { $self->pid }

1;
