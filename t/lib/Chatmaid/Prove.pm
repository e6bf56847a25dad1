package Chatmaid::Prove;

# For prove, so that the modules that nearly all tests need are loaded once: each
# test that uses ours is a fork of prove, and runs its file.  It is the same to
# the test; `prove -It/lib t/NAME.t` without this runs it as well.
#
#   perl -It/lib -MChatmaid::Prove -S prove -It/lib t/

use strict;
use warnings;
use parent 'TAP::Parser::Iterator::Process';

use IO::Select;
use Test2::API qw(test2_start_preload test2_stop_preload);

BEGIN { test2_start_preload }           # until there is a test

use Cwd qw(abs_path);
use Digest::SHA;
use File::Temp;
use IO::Socket::SSL;
use Mojo::JSON;
use Mojo::Server::Daemon;
use Mojo::UserAgent;
use Mojolicious;
use TAP::Parser::IteratorFactory;
use Test::More;

Mojolicious->new;                       # loads its plugins

TAP::Parser::IteratorFactory->register_handler(__PACKAGE__);

# As sure as can be, for tests that use our library.

sub can_handle {
    my ($class, $source) = @_;
    my $meta = $source->meta;
    return 0 unless $meta->{is_file} && $meta->{file}{ext} eq '.t';

    open my $in, '<', ${$source->raw} or return 0;
    return scalar(grep { /^use Chatmaid::Test\b/ } <$in>) ? 1 : 0;
}

sub make_iterator {
    my ($class, $source) = @_;
    my $file = abs_path(${$source->raw});

    pipe my $out, my $stdout or die "pipe: $!";
    pipe my $err, my $stderr or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    run($file, $stdout, $stderr) unless $pid;

    return bless {
        command => [$file], out => $out, err => $err, pid => $pid,
        sel => IO::Select->new($out, $err), chunk_size => 65536,
    }, $class;
}

# In the child, which ends here.

sub run {
    my ($file, $stdout, $stderr) = @_;

    open STDOUT, '>&', $stdout;
    open STDERR, '>&', $stderr;
    close $_ for $stdout, $stderr;
    STDERR->autoflush;

    test2_stop_preload;
    my $builder = Test::More->builder;  # has had prove's own until now
    $builder->$_(\*STDOUT) for qw(output todo_output);
    $builder->failure_output(\*STDERR);

    srand;                              # else all draw the same
    $0    = $file;
    @ARGV = ();

    { package main; do $file }
    print STDERR $@ if $@;
    exit($@ ? 255 : 0);
}

1;
