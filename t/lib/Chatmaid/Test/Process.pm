package Chatmaid::Test::Process;

# One child process: started in the foreground, ended by its pid, its exit
# status kept.

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use Chatmaid::Test::World qw(test_dir started wait_for slurp);
use POSIX qw(WNOHANG);

has [qw(name pid status clock)];
has output  => sub ($self) { test_dir() . '/' . $self->name . '.out' };
has signal  => 'TERM';           # ends it in good order
has command => sub { [] };
has env     => sub { {} };       # what is added to the environment

sub start ($self) {
    my ($pid, $lifeline) = forked(sub {
        delete $ENV{NGINX};      # nginx takes it for sockets that it inherits
        %ENV = (%ENV, %{$self->env}, $self->clock ? %{$self->clock->env} : ());
        output_to($self->output);
        { no warnings 'exec'; exec @{$self->command} }
        print STDERR "cannot run ${\$self->command->[0]}: $!\n";
        POSIX::_exit(127);
    });
    $self->clock->used_by($pid) if $self->clock;
    return $self->runs($pid, $lifeline);
}

# A child, whose standard input ends when we do, however that happens: its pid,
# and the other end.

sub forked ($code) {
    pipe my $read, my $write or croak "pipe: $!";

    my $pid = fork // croak "fork: $!";
    return ($pid, $write) if $pid;

    die_with_parent();
    close $write;
    open STDIN, '<&', $read;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
    $code->();
    POSIX::_exit(0);
}

sub output_to ($file) {
    open STDOUT, '>>', $file;
    open STDERR, '>&', \*STDOUT;
}

sub runs ($self, $pid, $lifeline) {
    $self->status(undef);
    $self->{lifeline} = $lifeline;
    started($self->pid($pid)) unless $self->{started}++;
    return $self->pid($pid);
}

# Linux: a signal when the parent has gone, also by kill -9.  nginx does not
# look at its standard input.

sub die_with_parent () {
    my $prctl = {x86_64 => 157, aarch64 => 167}->{(POSIX::uname())[4]} or return;
    syscall $prctl, 1, POSIX::SIGTERM(), 0, 0, 0;
}

# One that somebody else has waited for has ended too, and its pid may by now be
# that of any process.

sub alive ($self) {
    return 0 if !$self->pid || defined $self->status;
    my $ended = waitpid $self->pid, WNOHANG;
    $self->status($ended > 0 ? $? : -1) if $ended;
    return !defined $self->status;
}

sub kill ($self, $signal) { CORE::kill $signal, $self->pid if $self->alive }

# True if it ended in time by itself; else it is ended all the same.

sub stop ($self) {
    return 1 unless $self->alive;
    $self->kill($self->signal);

    my $ended = eval { wait_for(sub { !$self->alive }, $self->name . ' to end') };
    $self->{late} = 1 unless $ended;
    $self->kill_now;
    return $ended;
}

sub kill_now ($self) {
    return unless $self->alive;
    $self->kill('TERM');
    for (1 .. 1000) {
        return unless $self->alive;
        select undef, undef, undef, 0.01;
    }
    $self->kill('KILL');
    waitpid $self->pid, 0;
    $self->status($?);
}

sub text ($self) { slurp($self->output) }

# Numbers of one of its own or its children's processes, from /proc.

sub rss ($self, $pid = $self->pid) {
    my ($kilobytes) = slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kilobytes;
}

sub fds ($self, $pid = $self->pid) { scalar(() = glob "/proc/$pid/fd/*") }

# The same by kind: how many are connections to or from each of these ports of
# 127.0.0.1 (name => port), and how many are anything else.

sub descriptors ($self, $pid, %port) {
    my %name = map { sprintf('%04X', $port{$_}) => $_ } keys %port;
    my %of;
    for my $line (slurp('/proc/net/tcp') =~ /^ *\d+: .*$/mg) {
        my (undef, $local, $remote, $state, $inode) = (split ' ', $line)[0 .. 3, 9];
        my ($name) = grep { defined } map { $name{s/.*://r} } $local, $remote;
        $of{"socket:[$inode]"} = $name if $name && $state ne '0A';      # listening
    }

    my %count = (other => 0, map { $_ => 0 } keys %port);
    $count{$of{readlink($_) // ''} // 'other'}++ for glob "/proc/$pid/fd/*";
    return \%count;
}

1;
