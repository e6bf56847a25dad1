package Chatmaid::Test::Clock;

# A clock for some of a test's processes, by Debian's libfaketime.
#
#   my $clock = clock;                   # the true time, until it is put forward
#   nginx(clock => $clock);
#   $clock->forward(31);                 # for all of them, from the next look on
#
#   nginx(clock => clock(at => 1785000000));     # stands still there
#
# A clock that runs is put forward for timers as well; one that stands still
# does so for the time of day alone, else no timer would ever end.

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use Chatmaid::Test ();
use Chatmaid::Test::World qw(test_dir spurt);
use Exporter ();
use Time::HiRes qw(time);

our @EXPORT = qw(clock);

has at      => undef;
has ahead   => 0;                # seconds
has file    => sub { state $serial = 0; test_dir() . '/clock' . $serial++ };
has library => sub { (glob '/usr/lib/*/faketime/libfaketime.so.1')[0] // croak 'libfaketime is not installed' };

sub import ($class, @names) {
    no strict 'refs';
    *{caller() . '::clock'} = \&clock;
}

sub clock (%option) { Chatmaid::Test::Clock->new(%option)->set }

# What a process is started with.  What it looks up later, it reads from the file;
# nginx drops from its environment what it is not told to keep.

sub env ($self) {
    return {
        LD_PRELOAD              => $self->library,
        FAKETIME_TIMESTAMP_FILE => $self->file,
        FAKETIME_NO_CACHE       => 1,
        FAKETIME_FMT            => '%s',
        TZ                      => 'UTC',
        defined $self->at ? (FAKETIME_DONT_FAKE_MONOTONIC => 1) : (),
        ASAN_OPTIONS            => join ':', $ENV{ASAN_OPTIONS} // (), 'verify_asan_link_order=0',
    };
}

sub directives ($self) {
    return join '', map { "env $_;\n" } grep { $_ ne 'LD_PRELOAD' } sort keys %{$self->env};
}

sub set ($self) {
    my $text = $self->at // sprintf '%+d', $self->ahead;
    rename spurt($self->file . '.new', "$text\n"), $self->file or croak "rename: $!";
    return $self;
}

sub forward ($self, $seconds) {
    defined $self->at ? $self->at($self->at + $seconds) : $self->ahead($self->ahead + $seconds);
    return $self->set;
}

sub now ($self) { $self->at // int(time) + $self->ahead }

# libfaketime cleans up where its process ends by itself.

my @pids;

sub used_by ($self, $pid) { push @pids, $pid }

END { unlink map { ("/dev/shm/faketime_shm_$_", "/dev/shm/sem.faketime_sem_$_") } @pids }

1;
